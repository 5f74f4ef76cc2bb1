"""Long recordings, with or without their text, cut to utterances whose words two readings agree on."""
