"""Speed and memory measurements of models and of whole voices."""
