# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the flag catalogs from the parsers in the engines' published wheels: no GPU, no engine installed.

index      which versions there are, and single files out of remote wheels (pip's own index settings, HTTP ranges)
stubs      imports the modules that build a parser; everything heavy is replaced by stubs that remember their origin
engines    what to import and call in each engine
describe   a captured parser (argparse or click) as plain data
child      one extraction in a fresh process
extract    extractions repeated until no stub leaks into the result
records    plain data → catalog records; records of all versions → one file
"""
