"""From an image to its faces.

``pipeline`` runs the stages, in this order:

1. ``headers`` and ``decode``: file to ``view``
2. ``detectors``: view to boxes, scores and landmarks
3. ``geometry``: boxes to upright chips
4. ``attributes``: chips to ages and genders, as ``model_spec`` describes the network
5. ``verification``: which boxes are faces, and how they are turned
6. ``quality`` and ``reliability``: whether to rely on the attributes
7. ``face``: the result, which ``render`` draws
"""
