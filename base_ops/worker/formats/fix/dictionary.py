"""Fields and repeating groups of FIX 4.2, 4.4 and 5.0 SP2, as far as they are commonly used (FIX Trading Community).

Types: S text or code · I int · D Price, Qty, Amt, Percentage, float · T UTCTimestamp · L LocalMktDate, UTCDateOnly ·
B Boolean · X data · # Length of the data field that follows · N NumInGroup.
"""

from __future__ import annotations

_TABLE = """
1 Account S/2 AdvId S/3 AdvRefID S/4 AdvSide S/5 AdvTransType S/6 AvgPx D/7 BeginSeqNo I/8 BeginString S
9 BodyLength I/10 CheckSum S/11 ClOrdID S/12 Commission D/13 CommType S/14 CumQty D/15 Currency S/16 EndSeqNo I
17 ExecID S/18 ExecInst S/19 ExecRefID S/20 ExecTransType S/21 HandlInst S/22 SecurityIDSource S/23 IOIID S
25 IOIQltyInd S/26 IOIRefID S/27 IOIQty S/28 IOITransType S/29 LastCapacity S/30 LastMkt S/31 LastPx D/32 LastQty D
33 NoLinesOfText N/34 MsgSeqNum I/35 MsgType S/36 NewSeqNo I/37 OrderID S/38 OrderQty D/39 OrdStatus S/40 OrdType S
41 OrigClOrdID S/42 OrigTime T/43 PossDupFlag B/44 Price D/45 RefSeqNum I/47 Rule80A S/48 SecurityID S
49 SenderCompID S/50 SenderSubID S/52 SendingTime T/53 Quantity D/54 Side S/55 Symbol S/56 TargetCompID S
57 TargetSubID S/58 Text S/59 TimeInForce S/60 TransactTime T/61 Urgency S/62 ValidUntilTime T/63 SettlType S
64 SettlDate L/65 SymbolSfx S/66 ListID S/67 ListSeqNo I/68 TotNoOrders I/69 ListExecInst S/70 AllocID S
71 AllocTransType S/72 RefAllocID S/73 NoOrders N/74 AvgPxPrecision I/75 TradeDate L/77 PositionEffect S
78 NoAllocs N/79 AllocAccount S/80 AllocQty D/81 ProcessCode S/82 NoRpts I/83 RptSeq I/84 CxlQty D/85 NoDlvyInst N
87 AllocStatus I/88 AllocRejCode I/89 Signature X/90 SecureDataLen #/91 SecureData X/93 SignatureLength #
94 EmailType S/95 RawDataLength #/96 RawData X/97 PossResend B/98 EncryptMethod I/99 StopPx D/100 ExDestination S
102 CxlRejReason I/103 OrdRejReason I/104 IOIQualifier S/106 Issuer S/107 SecurityDesc S/108 HeartBtInt I
110 MinQty D/111 MaxFloor D/112 TestReqID S/113 ReportToExch B/114 LocateReqd B/115 OnBehalfOfCompID S
116 OnBehalfOfSubID S/117 QuoteID S/118 NetMoney D/119 SettlCurrAmt D/120 SettlCurrency S/121 ForexReq B
122 OrigSendingTime T/123 GapFillFlag B/124 NoExecs N/126 ExpireTime T/127 DKReason S/128 DeliverToCompID S
129 DeliverToSubID S/130 IOINaturalFlag B/131 QuoteReqID S/132 BidPx D/133 OfferPx D/134 BidSize D/135 OfferSize D
136 NoMiscFees N/137 MiscFeeAmt D/138 MiscFeeCurr S/139 MiscFeeType S/140 PrevClosePx D/141 ResetSeqNumFlag B
142 SenderLocationID S/143 TargetLocationID S/144 OnBehalfOfLocationID S/145 DeliverToLocationID S
146 NoRelatedSym N/147 Subject S/148 Headline S/149 URLLink S/150 ExecType S/151 LeavesQty D/152 CashOrderQty D
153 AllocAvgPx D/154 AllocNetMoney D/155 SettlCurrFxRate D/156 SettlCurrFxRateCalc S/157 NumDaysInterest I
158 AccruedInterestRate D/159 AccruedInterestAmt D/160 SettlInstMode S/161 AllocText S/162 SettlInstID S
163 SettlInstTransType S/164 EmailThreadID S/165 SettlInstSource S/167 SecurityType S/168 EffectiveTime T
169 StandInstDbType I/170 StandInstDbName S/171 StandInstDbID S/172 SettlDeliveryType I/188 BidSpotRate D
189 BidForwardPoints D/190 OfferSpotRate D/191 OfferForwardPoints D/192 OrderQty2 D/193 SettlDate2 L
194 LastSpotRate D/195 LastForwardPoints D/196 AllocLinkID S/197 AllocLinkType I/198 SecondaryOrderID S
199 NoIOIQualifiers N/200 MaturityMonthYear S/201 PutOrCall I/202 StrikePrice D/203 CoveredOrUncovered I
204 CustomerOrFirm I/205 MaturityDay S/206 OptAttribute S/207 SecurityExchange S/208 NotifyBrokerOfCredit B
209 AllocHandlInst I/210 MaxShow D/211 PegOffsetValue D/212 XmlDataLen #/213 XmlData X/214 SettlInstRefID S
215 NoRoutingIDs N/216 RoutingType I/217 RoutingID S/218 Spread D/223 CouponRate D/224 CouponPaymentDate L
225 IssueDate L/226 RepurchaseTerm I/227 RepurchaseRate D/228 Factor D/229 TradeOriginationDate L/230 ExDate L
231 ContractMultiplier D/232 NoStipulations N/233 StipulationType S/234 StipulationValue S/235 YieldType S
236 Yield D/237 TotalTakedown D/238 Concession D/239 RepoCollateralSecurityType S/240 RedemptionDate L
241 UnderlyingCouponPaymentDate L/242 UnderlyingIssueDate L/255 CreditRating S/256 UnderlyingCreditRating S
258 BasisFeatureDate L/259 BasisFeaturePrice D/262 MDReqID S/263 SubscriptionRequestType S/264 MarketDepth I
265 MDUpdateType I/266 AggregatedBook B/267 NoMDEntryTypes N/268 NoMDEntries N/269 MDEntryType S/270 MDEntryPx D
271 MDEntrySize D/272 MDEntryDate L/273 MDEntryTime S/274 TickDirection S/275 MDMkt S/276 QuoteCondition S
277 TradeCondition S/278 MDEntryID S/279 MDUpdateAction S/280 MDEntryRefID S/281 MDReqRejReason S
282 MDEntryOriginator S/283 LocationID S/284 DeskID S/285 DeleteReason S/286 OpenCloseSettlFlag S/287 SellerDays I
288 MDEntryBuyer S/289 MDEntrySeller S/290 MDEntryPositionNo I/291 FinancialStatus S/292 CorporateAction S
293 DefBidSize D/294 DefOfferSize D/295 NoQuoteEntries N/296 NoQuoteSets N/297 QuoteStatus I/298 QuoteCancelType I
299 QuoteEntryID S/300 QuoteRejectReason I/301 QuoteResponseLevel I/302 QuoteSetID S/303 QuoteRequestType I
304 TotNoQuoteEntries I/305 UnderlyingSecurityIDSource S/306 UnderlyingIssuer S/307 UnderlyingSecurityDesc S
308 UnderlyingSecurityExchange S/309 UnderlyingSecurityID S/310 UnderlyingSecurityType S/311 UnderlyingSymbol S
312 UnderlyingSymbolSfx S/313 UnderlyingMaturityMonthYear S/315 UnderlyingPutOrCall I/316 UnderlyingStrikePrice D
317 UnderlyingOptAttribute S/318 UnderlyingCurrency S/320 SecurityReqID S/321 SecurityRequestType I
322 SecurityResponseID S/323 SecurityResponseType I/324 SecurityStatusReqID S/325 UnsolicitedIndicator B
326 SecurityTradingStatus I/327 HaltReason I/328 InViewOfCommon B/329 DueToRelated B/330 BuyVolume D
331 SellVolume D/332 HighPx D/333 LowPx D/334 Adjustment I/335 TradSesReqID S/336 TradingSessionID S
337 ContraTrader S/338 TradSesMethod I/339 TradSesMode I/340 TradSesStatus I/341 TradSesStartTime T
342 TradSesOpenTime T/343 TradSesPreCloseTime T/344 TradSesCloseTime T/345 TradSesEndTime T/346 NumberOfOrders I
347 MessageEncoding S/348 EncodedIssuerLen #/349 EncodedIssuer X/350 EncodedSecurityDescLen #
351 EncodedSecurityDesc X/352 EncodedListExecInstLen #/353 EncodedListExecInst X/354 EncodedTextLen #
355 EncodedText X/356 EncodedSubjectLen #/357 EncodedSubject X/358 EncodedHeadlineLen #/359 EncodedHeadline X
360 EncodedAllocTextLen #/361 EncodedAllocText X/362 EncodedUnderlyingIssuerLen #/363 EncodedUnderlyingIssuer X
364 EncodedUnderlyingSecurityDescLen #/365 EncodedUnderlyingSecurityDesc X/366 AllocPrice D
367 QuoteSetValidUntilTime T/368 QuoteEntryRejectReason I/369 LastMsgSeqNumProcessed I/371 RefTagID I
372 RefMsgType S/373 SessionRejectReason I/374 BidRequestTransType S/375 ContraBroker S/376 ComplianceID S
377 SolicitedFlag B/378 ExecRestatementReason I/379 BusinessRejectRefID S/380 BusinessRejectReason I
381 GrossTradeAmt D/382 NoContraBrokers N/383 MaxMessageSize I/384 NoMsgTypes N/385 MsgDirection S
386 NoTradingSessions N/387 TotalVolumeTraded D/388 DiscretionInst S/389 DiscretionOffsetValue D/390 BidID S
391 ClientBidID S/392 ListName S/393 TotNoRelatedSym I/394 BidType I/395 NumTickets I/396 SideValue1 D
397 SideValue2 D/398 NoBidDescriptors N/399 BidDescriptorType I/400 BidDescriptor S/401 SideValueInd I
409 LiquidityIndType I/414 ProgRptReqs I/415 ProgPeriodInterval I/416 IncTaxInd I/417 NumBidders I
418 BidTradeType S/419 BasisPxType S/420 NoBidComponents N/421 Country S/422 TotNoStrikes I/423 PriceType I
424 DayOrderQty D/425 DayCumQty D/426 DayAvgPx D/427 GTBookingInst I/428 NoStrikes N/429 ListStatusType I
430 NetGrossInd I/431 ListOrderStatus I/432 ExpireDate L/433 ListExecInstType S/434 CxlRejResponseTo S
435 UnderlyingCouponRate D/436 UnderlyingContractMultiplier D/437 ContraTradeQty D/438 ContraTradeTime T
439 ClearingFirm S/440 ClearingAccount S/441 LiquidityNumSecurities I/442 MultiLegReportingType S/443 StrikeTime T
444 ListStatusText S/445 EncodedListStatusTextLen #/446 EncodedListStatusText X/447 PartyIDSource S/448 PartyID S
451 NetChgPrevDay D/452 PartyRole I/453 NoPartyIDs N/454 NoSecurityAltID N/455 SecurityAltID S
456 SecurityAltIDSource S/457 NoUnderlyingSecurityAltID N/458 UnderlyingSecurityAltID S
459 UnderlyingSecurityAltIDSource S/460 Product I/461 CFICode S/462 UnderlyingProduct I/463 UnderlyingCFICode S
464 TestMessageIndicator B/466 BookingRefID S/467 IndividualAllocID S/468 RoundingDirection S/469 RoundingModulus D
470 CountryOfIssue S/471 StateOrProvinceOfIssue S/472 LocaleOfIssue S/479 CommCurrency S/483 TransBkdTime T
487 TradeReportTransType I/497 FundRenewWaiv S/516 OrderPercent D/517 RegistStatus S/518 NoContAmts N
519 ContAmtType I/520 ContAmtValue D/521 ContAmtCurr S/522 OwnerType I/523 PartySubID S/524 NestedPartyID S
525 NestedPartyIDSource S/526 SecondaryClOrdID S/527 SecondaryExecID S/528 OrderCapacity S/529 OrderRestrictions S
530 MassCancelRequestType S/531 MassCancelResponse S/532 MassCancelRejectReason I/533 TotalAffectedOrders I
537 QuoteType I/538 NestedPartyRole I/539 NoNestedPartyIDs N/540 TotalAccruedInterestAmt D/541 MaturityDate L
542 UnderlyingMaturityDate L/543 InstrRegistry S/544 CashMargin S/545 NestedPartySubID S/546 Scope S/548 CrossID S
549 CrossType I/550 CrossPrioritization I/551 OrigCrossID S/552 NoSides N/553 Username S/554 Password S/555 NoLegs N
556 LegCurrency S/559 SecurityListRequestType I/560 SecurityRequestResult I/561 RoundLot D/562 MinTradeVol D
564 LegPositionEffect S/565 LegCoveredOrUncovered I/566 LegPrice D/567 TradSesStatusRejReason I/568 TradeRequestID S
569 TradeRequestType I/570 PreviouslyReported B/571 TradeReportID S/572 TradeReportRefID S/573 MatchStatus S
574 MatchType S/575 OddLot B/576 NoClearingInstructions N/577 ClearingInstruction I/578 TradeInputSource S
579 TradeInputDevice S/580 NoDates N/581 AccountType I/582 CustOrderCapacity I/583 ClOrdLinkID S
584 MassStatusReqID S/585 MassStatusReqType I/586 OrigOrdModTime T/587 LegSettlType S/588 LegSettlDate L
589 DayBookingInst S/590 BookingUnit S/591 PreallocMethod S/599 LegInstrRegistry S/600 LegSymbol S
601 LegSymbolSfx S/602 LegSecurityID S/603 LegSecurityIDSource S/604 NoLegSecurityAltID N/605 LegSecurityAltID S
606 LegSecurityAltIDSource S/607 LegProduct I/608 LegCFICode S/609 LegSecurityType S/610 LegMaturityMonthYear S
611 LegMaturityDate L/612 LegStrikePrice D/613 LegOptAttribute S/614 LegContractMultiplier D/615 LegCouponRate D
616 LegSecurityExchange S/617 LegIssuer S/618 EncodedLegIssuerLen #/619 EncodedLegIssuer X/620 LegSecurityDesc S
621 EncodedLegSecurityDescLen #/622 EncodedLegSecurityDesc X/623 LegRatioQty D/624 LegSide S
625 TradingSessionSubID S/626 AllocType I/627 NoHops N/628 HopCompID S/629 HopSendingTime T/630 HopRefID I
631 MidPx D/632 BidYield D/633 MidYield D/634 OfferYield D/635 ClearingFeeIndicator S/636 WorkingIndicator B
637 LegLastPx D/638 PriorityIndicator I/639 PriceImprovement D/640 Price2 D/641 LastForwardPoints2 D
642 BidForwardPoints2 D/643 OfferForwardPoints2 D/644 RFQReqID S/645 MktBidPx D/646 MktOfferPx D/647 MinBidSize D
648 MinOfferSize D/649 QuoteStatusReqID S/650 LegalConfirm B/651 UnderlyingLastPx D/652 UnderlyingLastQty D
654 LegRefID S/655 ContraLegRefID S/656 SettlCurrBidFxRate D/657 SettlCurrOfferFxRate D
658 QuoteRequestRejectReason I/660 AcctIDSource I/661 AllocAcctIDSource I/662 BenchmarkPrice D
663 BenchmarkPriceType I/664 ConfirmID S/665 ConfirmStatus I/666 ConfirmTransType I/667 ContractSettlMonth S
668 DeliveryForm I/669 LastParPx D/670 NoLegAllocs N/671 LegAllocAccount S/672 LegIndividualAllocID S
673 LegAllocQty D/674 LegAllocAcctIDSource S/675 LegSettlCurrency S/682 LegIOIQty S/683 NoLegStipulations N
685 LegOrderQty D/687 LegQty D/688 LegStipulationType S/689 LegStipulationValue S/690 LegSwapType I/691 Pool S
692 QuotePriceType I/693 QuoteRespID S/694 QuoteRespType I/695 QuoteQualifier S/699 BenchmarkSecurityID S
700 ReversalIndicator B/701 YieldCalcDate L/702 NoPositions N/703 PosType S/704 LongQty D/705 ShortQty D
706 PosQtyStatus I/707 PosAmtType S/708 PosAmt D/709 PosTransType I/710 PosReqID S/711 NoUnderlyings N
715 ClearingBusinessDate L/721 PosMaintRptID S/724 PosReqType I/725 ResponseTransportType I/727 TotalNumPosReports I
728 PosReqResult I/729 PosReqStatus I/730 SettlPrice D/731 SettlPriceType I/734 PriorSettlPrice D
735 NoQuoteQualifiers N/736 AllocSettlCurrency S/737 AllocSettlCurrAmt D/738 InterestAtMaturity D/739 LegDatedDate L
740 LegPool S/741 AllocInterestAtMaturity D/742 AllocAccruedInterestAmt D/743 DeliveryDate L
748 TotNumTradeReports I/749 TradeRequestResult I/750 TradeRequestStatus I/751 TradeReportRejectReason I
752 SideMultiLegReportingType I/753 NoPosAmt N/754 AutoAcceptIndicator B/755 AllocReportID S/756 NoNested2PartyIDs N
757 Nested2PartyID S/758 Nested2PartyIDSource S/759 Nested2PartyRole I/760 Nested2PartySubID S/762 SecuritySubType S
763 UnderlyingSecuritySubType S/764 LegSecuritySubType S/768 NoTrdRegTimestamps N/769 TrdRegTimestamp T
770 TrdRegTimestampType I/771 TrdRegTimestampOrigin S/773 ConfirmType I/775 BookingType I/779 LastUpdateTime T
780 AllocSettlInstType I/781 NoSettlPartyIDs N/782 SettlPartyID S/783 SettlPartyIDSource S/784 SettlPartyRole I
785 SettlPartySubID S/786 SettlPartySubIDType I/787 DlvyInstType S/789 NextExpectedMsgSeqNum I/790 OrdStatusReqID S
792 SettlInstReqRejCode I/793 SecondaryAllocID S/797 CopyMsgIndicator B/799 OrderAvgPx D/800 OrderBookingQty D
801 NoSettlPartySubIDs N/802 NoPartySubIDs N/803 PartySubIDType I/804 NoNestedPartySubIDs N
805 NestedPartySubIDType I/806 NoNested2PartySubIDs N/807 Nested2PartySubIDType I/810 UnderlyingPx D
811 PriceDelta D/818 SecondaryTradeReportID S/819 AvgPxIndicator I/820 TradeLinkID S/825 ExchangeRule S
826 TradeAllocIndicator I/827 ExpirationCycle I/828 TrdType I/829 TrdSubType I/830 TransferReason S
835 PegMoveType I/836 PegOffsetType I/837 PegLimitType I/838 PegRoundDirection I/839 PeggedPrice D/840 PegScope I
847 TargetStrategy I/848 TargetStrategyParameters S/849 ParticipationRate D/851 LastLiquidityInd I
852 PublishTrdIndicator B/853 ShortSaleReason I/854 QtyType I/855 SecondaryTrdType I/856 TradeReportType I
857 AllocNoOrdersType I/862 NoCapacities N/863 OrderCapacityQty D/864 NoEvents N/865 EventType I/866 EventDate L
867 EventPx D/868 EventText S/873 DatedDate L/874 InterestAccrualDate L/875 CPProgram I/876 CPRegType S
877 UnderlyingCPProgram S/878 UnderlyingCPRegType S/879 UnderlyingQty D/880 TrdMatchID S
881 SecondaryTradeReportRefID S/882 UnderlyingDirtyPrice D/883 UnderlyingEndPrice D/884 UnderlyingStartValue D
885 UnderlyingCurrentValue D/886 UnderlyingEndValue D/887 NoUnderlyingStips N/888 UnderlyingStipType S
889 UnderlyingStipValue S/891 MiscFeeBasis I/893 LastFragment B/898 MarginRatio D/900 TotalNetValue D
908 CollInquiryID S/911 TotNumReports I/912 LastRptRequested B/913 AgreementDesc S/914 AgreementID S
915 AgreementDate L/916 StartDate L/917 EndDate L/918 AgreementCurrency S/919 DeliveryType I
920 EndAccruedInterestAmt D/921 StartCash D/922 EndCash D/923 UserRequestID S/924 UserRequestType I
925 NewPassword S/926 UserStatus I/927 UserStatusText S/941 UnderlyingStrikeCurrency S/942 LegStrikeCurrency S
943 TimeBracket S/947 StrikeCurrency S/948 NoNested3PartyIDs N/949 Nested3PartyID S/950 Nested3PartyIDSource S
951 Nested3PartyRole I/952 NoNested3PartySubIDs N/953 Nested3PartySubID S/954 Nested3PartySubIDType I
955 LegContractSettlMonth S/956 LegInterestAccrualDate L/957 NoStrategyParameters N/958 StrategyParameterName S
959 StrategyParameterType I/960 StrategyParameterValue S/969 MinPriceIncrement D/1003 TradeID S
1018 NoInstrumentParties N/1019 InstrumentPartyID S/1020 TradeVolume D/1021 MDBookType I/1022 MDFeedType S
1023 MDPriceLevel I/1024 MDOriginType I/1050 InstrumentPartyIDSource S/1051 InstrumentPartyRole I
1052 NoInstrumentPartySubIDs N/1053 InstrumentPartySubID S/1054 InstrumentPartySubIDType I/1057 AggressorIndicator B
1070 MDQuoteType I/1084 DisplayMethod S/1116 NoRootPartyIDs N/1117 RootPartyID S/1118 RootPartyIDSource S
1119 RootPartyRole I/1120 NoRootPartySubIDs N/1121 RootPartySubID S/1122 RootPartySubIDType I/1128 ApplVerID S
1129 CstmApplVerID S/1130 RefApplVerID S/1131 RefCstmApplVerID S/1137 DefaultApplVerID S/1138 DisplayQty D
1151 SecurityGroup S/1156 ApplExtID I/1180 ApplID S/1181 ApplSeqNum I/1300 MarketSegmentID S/1301 MarketID S
1350 ApplLastSeqNum I/1400 EncryptedPasswordMethod I/1401 EncryptedPasswordLen #/1402 EncryptedPassword X
1406 RefApplExtID I/1407 DefaultApplExtID I/1408 DefaultCstmApplVerID S/1409 SessionStatus I
1410 DefaultVerIndicator B
"""

NAMES: dict[int, str] = {}
TYPES: dict[int, str] = {}
for _entry in _TABLE.replace("\n", "/").strip("/").split("/"):
    _tag, _name, _type = _entry.split(" ")
    NAMES[int(_tag)], TYPES[int(_tag)] = _name, _type

DATA_OF = {length: length + 1 for length, type in TYPES.items() if type == "#"} | {93: 89}
"""Length field → the data field that must follow it."""


def _set(*items: int | range | frozenset[int]) -> frozenset[int]:
    found: set[int] = set()
    for item in items:
        found |= {item} if isinstance(item, int) else set(item)
    return frozenset(found)


_INSTRUMENT = _set(
    *(
        55,
        65,
        48,
        22,
        454,
        460,
        461,
        167,
        762,
        200,
        205,
        541,
        201,
        224,
        225,
        239,
        226,
        227,
        228,
        255,
        543,
        470,
        471,
        472,
    ),
    *(
        240,
        202,
        947,
        206,
        231,
        223,
        207,
        106,
        348,
        349,
        107,
        350,
        351,
        691,
        667,
        875,
        876,
        864,
        873,
        874,
        1018,
        969,
        1151,
    ),
)
_UNDERLYING = _set(
    *(311, 312, 309, 305, 457, 462, 463, 310, 763, 313, 315, 542, range(241, 248), 256, 592, 593, 594, 595, 316, 941),
    *(317, 436, 435, 308, 306, 362, 363, 307, 364, 365, 877, 878, 318, 879, 810, range(882, 888), 651, 652),
)
_LEG = _set(
    *(range(248, 255), 257, 556, range(596, 605), range(607, 625), 739, 740, 764, 942, 955, 956, 687, 690, 990, 683),
    *(539, 564, 565, 566, 587, 588, 637, 654, 670, 675, range(676, 683), 684, 685, 948, 1073, 1074, 1075),
)
_ORDER = _set(
    *(11, 37, 198, 526, 67, 583, 160, 453, 229, 1, 660, 581, 589, 590, 591, 70, 78, 63, 64, 544, 635, 21, 18, 110, 111),
    *(
        100,
        386,
        81,
        _INSTRUMENT,
        711,
        140,
        54,
        401,
        114,
        60,
        232,
        854,
        38,
        152,
        516,
        468,
        469,
        40,
        423,
        44,
        99,
        15,
        376,
    ),
    *(
        377,
        23,
        117,
        59,
        168,
        432,
        126,
        427,
        12,
        13,
        479,
        497,
        528,
        529,
        582,
        121,
        120,
        775,
        58,
        354,
        355,
        193,
        192,
        640,
    ),
    *(77, 203, 210, 388, 389, 6, 151, 14, 39, 84, 636, 103, 799, 800, 539, 957, 847, 848, 849),
)

GROUPS: dict[int, frozenset[int]] = {
    33: _set(58, 354, 355),
    73: _ORDER,
    78: _set(
        *(79, 661, 573, 366, 80, 467, 81, 539, 208, 209, 161, 360, 361, 12, 13, 479, 497, 153, 154, 119, 737, 120, 736),
        *(155, 156, 742, 741, 136, 172, 780, 85, 635, 576, 756, 948),
    ),
    85: _set(165, 787, 781),
    124: _set(32, 17, 527, 31, 669, 29, 30),
    136: _set(137, 138, 139, 891),
    146: _set(
        *(_INSTRUMENT, 711, 555, 140, 303, 537, 336, 625, 229, 54, 854, 38, 152, 516, 468, 469, 63, 64, 193, 192, 15),
        *(232, 1, 660, 581, 735, 692, 40, 62, 126, 60, 423, 44, 640, 453, 58, 354, 355, 319, 561, 562, 827),
    ),
    199: _set(104),
    215: _set(216, 217),
    232: _set(233, 234),
    267: _set(269),
    268: _set(
        *(279, 285, 269, 278, 280, 270, 15, 271, 272, 273, 274, 275, 336, 625, 276, 277, 282, 283, 284, 286, 59, 432),
        *(126, 110, 18, 287, 37, 299, 288, 289, 346, 290, 291, 292, 58, 354, 355, 811, 451, 64, 63, 423, 453, 828, 829),
        *(1003, 1020, 1023, 1024, 1057, 1070, 40, 83, 332, 333, 387, 711, 555, 198, 192, 1022, 1021, 1181, _INSTRUMENT),
    ),
    295: _set(
        *(299, _INSTRUMENT, 555, 132, 133, 134, 135, 62, 188, 190, 189, 191, 631, 632, 633, 634, 60, 336, 625, 64, 40),
        *(193, 192, 642, 643, 15, 368),
    ),
    296: _set(302, _UNDERLYING, 304, 367, 893, 295),
    382: _set(375, 337, 437, 438, 655),
    384: _set(372, 385, 1130, 1131, 1406, 1410),
    386: _set(336, 625),
    398: _set(399, 400, 401, 404, 441, range(402, 409), 409, 410),
    420: _set(66, 54, 336, 625, 430, 63, 64, 1, 660),
    428: _set(_INSTRUMENT, 140, 11, 526, 54, 44, 15, 58, 354, 355),
    453: _set(448, 447, 452, 802),
    454: _set(455, 456),
    457: _set(458, 459),
    518: _set(519, 520, 521),
    539: _set(524, 525, 538, 804),
    552: _set(
        *(54, 37, 198, 11, 526, 583, 586, 41, 66, 453, 1, 660, 581, 589, 590, 591, 70, 78, 854, 38, 152, 516, 468, 469),
        *(81, 575, 576, 578, 579, 376, 377, 582, 528, 529, 40, 18, 483, 336, 625, 943, 12, 13, 479, 497, 157, 230, 158),
        *(159, 738, 920, 921, 922, 238, 237, 118, 119, 155, 156, 77, 58, 354, 355, 518, 752, 825, 826, 136, 232, 382),
        *(635, 121, 120, 775, 203, 544, 15, 768, 1057),
    ),
    555: _LEG,
    576: _set(577),
    580: _set(75, 60),
    604: _set(605, 606),
    627: _set(628, 629, 630),
    670: _set(671, 672, 673, 674, 675, 756),
    683: _set(688, 689),
    702: _set(703, 704, 705, 706, 539, 976),
    711: _UNDERLYING,
    735: _set(695),
    753: _set(707, 708),
    756: _set(757, 758, 759, 806),
    768: _set(769, 770, 771),
    781: _set(782, 783, 784, 801),
    801: _set(785, 786),
    802: _set(523, 803),
    804: _set(545, 805),
    806: _set(760, 807),
    862: _set(528, 529, 863),
    864: _set(865, 866, 867, 868),
    887: _set(888, 889),
    948: _set(949, 950, 951, 952),
    952: _set(953, 954),
    957: _set(958, 959, 960),
    1018: _set(1019, 1050, 1051, 1052),
    1052: _set(1053, 1054),
    1116: _set(1117, 1118, 1119, 1120),
    1120: _set(1121, 1122),
}
"""NoXXX field → the fields its entries may have, groups inside them included; an entry begins with the first one."""


def name_of(tag: int) -> str:
    """The column of a field."""
    return NAMES.get(tag) or f"tag_{tag}"
