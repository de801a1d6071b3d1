"""The types of the schema and what stands behind each field: the one map from schema to SQL."""
