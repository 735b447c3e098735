"""One folder per implementation, each a program that speaks the control protocol of interop/README.md."""
