throw new RangeError("as it is read")
