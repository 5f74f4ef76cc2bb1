"""A server of speech: voices, requests that share the processor, and the interface over HTTP."""
