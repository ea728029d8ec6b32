"""kexp: from labelled data to a small, tuned, verified neural network that runs on a phone."""
