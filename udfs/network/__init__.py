"""The worker that answers from neural networks, with ONNX Runtime, inside ClickHouse.

Everything here also runs where training does, so that rows become arrays in one place. It needs
numpy, pyarrow and onnxruntime, and of the project only what `pack.py` lists.
"""
