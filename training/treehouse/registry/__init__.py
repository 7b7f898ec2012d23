"""What becomes of a trained bundle: judged, kept, compared, handed to each node, cleared away."""
