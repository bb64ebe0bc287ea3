"""Vector indexes: embedded Qdrant in this process or in a host of its own, and the exact reference."""
