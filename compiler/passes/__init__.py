"""Rewrites of an ONNX graph, on onnx-ir: one pass a file."""
