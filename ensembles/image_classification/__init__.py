"""Blueprint: PNG and JPEG bytes in, labels and scores out."""
