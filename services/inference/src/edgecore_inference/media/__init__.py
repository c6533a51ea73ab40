"""Video and pictures in and out, in process, through PyAV: for the engine, and for any other source of frames."""
