"""The lab: virtual machines with kernels of their own, made from Debian packages on this machine.

Owns the image's recipe and its cache, the network namespace that a lab lives in, and the processes
inside it. Must never send a packet out of that namespace (packages are fetched by their ordinary
clients while an image is built), import anything of GLUnix (a lab is what GLUnix is tried on), or
leave something behind: `README.md` in this folder says how each part is taken down.
"""
