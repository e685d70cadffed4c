"""Memory: what the bytes are, who owns which page, and the one function through which every access goes."""
