"""What a cluster must be told before GPUs are shared: device plugin, mig-parted, GPU operator, claims."""
