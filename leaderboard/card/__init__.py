"""The model card of a variant: what stands beside its files when it is taken to where it will run."""
