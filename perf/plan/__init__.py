"""What a model needs before a GPU is rented: does it fit, how is it split, how many replicas, at what cost."""
