"""Who sums, and how fast?"""
