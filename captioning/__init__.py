"""Training of stages 2 and 3, the captioner, conditions, and captions of a whole split."""
