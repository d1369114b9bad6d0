"""What a training step sees: images, augmented, mixed, cached, and outliers made of them."""
