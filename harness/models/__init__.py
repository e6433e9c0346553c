"""Models: reading .tflite files, what they cost, compiling them with Vela, and the desktop runtime."""
