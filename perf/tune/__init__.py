"""Find the configuration that serves best under limits: predict all, measure few, confirm the best in pairs."""
