"""Who is near?"""
