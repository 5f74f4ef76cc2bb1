"""What is learned: networks, losses, tasks, bundles, the Synthesizer."""
