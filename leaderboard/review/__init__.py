"""The review: from constraints and weights to a shortlist with its evidence, and the decision with names under it."""
