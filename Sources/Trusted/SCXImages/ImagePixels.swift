/// Pictures as a model's tower takes them: resized, cropped, rescaled and normalised float32 values.
package struct ImagePixels: Sendable, Equatable {
    /// How many pictures there are: more than one where a processor cuts a picture in crops.
    package let count: Int
    /// Channels of a picture: 3, red first.
    package let channels: Int
    /// Rows of a picture.
    package let height: Int
    /// Columns of a picture.
    package let width: Int
    /// The values, [count, channels, height, width], row-major.
    package let values: [Float]

    /// - Precondition: there are `count * channels * height * width` values.
    package init(count: Int, channels: Int, height: Int, width: Int, values: [Float]) {
        precondition(values.count == count * channels * height * width)
        (self.count, self.channels, self.height, self.width) = (count, channels, height, width)
        self.values = values
    }
}
