"""The chaos test: thousands of cases, processes that die meanwhile, and the books compared afterwards."""
