"""Encoders of files that lie beside a specimen: satellite images and sounds. One string names them, as those of images.

encoder.py       what each of them is, and load_file_encoder(): by its name
satellite.py     an encoder of images, over satellite images
audio.py         a CLAP model of a local folder
sounds.py        files of sounds: read, made mono and 48 kHz
features.py      what CLAP takes of a sound, always the same
projected.py     either under a projection: folders of 'biocosmos train bind'
"""
