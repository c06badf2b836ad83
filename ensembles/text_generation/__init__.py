"""The blueprint `text_generation`: TensorRT-LLM behind a tokenizer, streaming, with a tiny model to try it."""
