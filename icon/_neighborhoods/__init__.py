"""Who is a neighbour?"""
