import Foundation
import SCXImages
import Testing

@Suite("addresses of pictures")
struct PictureAddressTests {
    @Test("a data URL gives its bytes, whatever its media type")
    func decoded() throws {
        var generator = FixedGenerator(seed: 1)
        for count in 1..<200 {
            let bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
            let encoded = Data(bytes).base64EncodedString()
            for start in ["data:image/png;base64,", "DATA:;BASE64,", "data:text/html;charset=utf-8;base64,"] {
                #expect(try PictureAddress.bytes(of: start + encoded) == bytes)
            }
        }
    }

    @Test("remote addresses are refused, since nothing is fetched")
    func remote() {
        for address in ["http://127.0.0.1/a.png", "https://example.com/a.png", "HTTPS://EXAMPLE.COM"] {
            let error = #expect(throws: ImageError.self) { try PictureAddress.bytes(of: address) }
            #expect(error?.description.contains("this server fetches nothing") == true)
            #expect(error?.description.lowercased().contains("example.com") == false)
        }
    }

    @Test(
        "addresses that are no data URL in strict base64 are refused",
        arguments: [
            "", "data:", "file:///etc/passwd", "ftp://a/b", "iVBORw0KGgo=", "data:image/png;base64",
            "data:,abcd",
            "data:image/png,%89PNG", "data:image/png;base64,", "data:image/png;base64,A",
            "data:image/png;base64,AA",
            "data:image/png;base64,AAA", "data:image/png;base64,AA=A", "data:image/png;base64,A===",
            "data:image/png;base64,====", "data:image/png;base64,AAAA====", "data:image/png;base64,AA A",
            "data:image/png;base64,AAAA\n", "data:image/png;base64,AB==", "data:image/png;base64,AAB=",
            "data:image/png;base64,AA-_", "data:image/png;base64,AA%3D%3D", "data:image/png;base64,ÄÄ",
            "data:image/png;base64x,AAAA", "data:xbase64,AAAA",
            "data:" + String(repeating: "a", count: 300) + ";base64,AAAA",
        ])
    func refused(_ address: String) {
        #expect(throws: ImageError.self) { try PictureAddress.bytes(of: address) }
    }

    @Test("the size is limited to the byte")
    func limit() throws {
        for count in 1...20 {
            let address = "data:;base64," + Data(repeating: 7, count: count).base64EncodedString()
            #expect(try PictureAddress.bytes(of: address, limit: count).count == count)
            #expect(throws: ImageError.bytes(limit: count - 1)) {
                try PictureAddress.bytes(of: address, limit: count - 1)
            }
        }
    }
}
