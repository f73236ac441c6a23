"""Runs neural networks. Nothing above this package knows LiteRT or TensorFlow."""
