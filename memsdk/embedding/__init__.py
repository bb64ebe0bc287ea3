"""Texts to vectors: prefixes, the transformers encoder, BM25, and how an embedder is found and loaded.

Nothing is imported here, so that `memsdk.embedding.prefixes` costs no torch.
"""
