"""What executes: the embedded tritonserver, its tools and private view, clients, and our Python-based backends."""
