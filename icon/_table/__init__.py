"""Which methods are there?"""
