"""Everything about one variant and its numbers: recipes, artefacts, tasks, measurement, statistics, the store."""
