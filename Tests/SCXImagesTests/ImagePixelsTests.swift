import SCXImages
import Testing

@Suite("pixels of pictures")
struct ImagePixelsTests {
    @Test("pictures are equal where all of their values are")
    func equality() {
        let picture = ImagePixels(count: 1, channels: 3, height: 1, width: 1, values: [1, 2, 3])
        #expect(picture == ImagePixels(count: 1, channels: 3, height: 1, width: 1, values: [1, 2, 3]))
        #expect(picture != ImagePixels(count: 1, channels: 3, height: 1, width: 1, values: [1, 2, 4]))
    }
}
