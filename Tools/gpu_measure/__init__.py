"""The parts of `Tools/measure-gpu`."""
