"""OpenAI's API before the text pipelines of a served repository: `serve --openai`."""
