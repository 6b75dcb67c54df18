"""Pods to nodes: queue, snapshot in arrays, filters, scores, bind."""
