"""How do p and q meet?"""
