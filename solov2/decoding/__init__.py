"""From a picture to the network's input, and from the network's outputs to instances."""
