"""A web server for stories: web.py FOLDER ADDRESS PORT; logs clients to stderr.

http.server's own start asks DNS for its host's full name, which takes its time-out where no
name server answers."""
import functools
import http.server
import socketserver
import sys

http.server.HTTPServer.server_bind = socketserver.TCPServer.server_bind
folder, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
server = http.server.ThreadingHTTPServer((address, port), handler)
server.server_name, server.server_port = address, port
server.serve_forever()
