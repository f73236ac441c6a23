"""Rendered heads that are no people: dolls, mannequins, statues, busts of metal.

Labelled faces with paint on them look too much like people: a classifier that learnt from such did
not find a real doll. These heads have the shapes of people and the surfaces of things.
"""
