"""The host: an honest Linux-like driver, and the named programs that play honest and hostile hosts."""
