"""What names specimens: by vectors, a linear model, text, or a trained head."""
