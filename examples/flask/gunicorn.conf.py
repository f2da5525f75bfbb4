"""How `gunicorn` runs the board. Every setting can be said on its command line too."""

wsgi_app = "app:create_app()"
# The program is loaded once and then forked: the client is made for that.
preload_app = True
workers = 2
# A thread that waits for a sleeping instance leaves the others free.
threads = 8
