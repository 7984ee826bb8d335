"""What is answered for all anchors at once, each with a gradient of its own?"""
