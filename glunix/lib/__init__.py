"""The library for C programs: glunix.h, libglunix.so and where a compiler finds them."""
