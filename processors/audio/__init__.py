"""From samples to mel, pitch and energy, and back."""
